// Shows a picture or the camera with what the model says of it. All texts are set as text.

const REASONS = {
  no_face: "No face was found. A larger face, seen from the front, works best.",
  mouth_too_small: "The face is too small: its mouth has too few pixels.",
  implausible_face: "What looks like a face is probably none, or is too covered to be sure.",
  turned_away: "The face is turned too far aside: look into the camera.",
  blurred_mouth: "The mouth is too blurred: hold still, or take a sharper picture.",
};
const COLOURS = ["#ff4f87", "#00b4d8", "#ffb703", "#52c41a", "#9d6bff", "#ff7043"];
const LARGEST = 1600; // pixels of the canvas's long side
const EVERY = 200; // milliseconds from one frame of the camera to the next

const [stage, hint, canvas, video, caption, file, camera, landmarks, message, faces, legend, labels] =
  ["stage", "hint", "canvas", "video", "caption", "file", "camera", "landmarks", "message", "faces",
    "legend", "labels"].map((name) => document.getElementById(name));

let shown = null; // what is on the canvas: {source, width, height, answers, mirrored}
let live = null; // the camera's stream while it runs
let turn = 0; // counts pictures asked for, so that a late answer to an earlier one is dropped
let limits = { max_megabytes: Infinity };

async function ask(picture) {
  let response, reply;
  try {
    response = await fetch("/predict", {
      method: "POST",
      body: picture,
      headers: { "Content-Type": "application/octet-stream" },
    });
    reply = await response.json();
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (!response.ok) throw Object.assign(new Error(reply.detail), { reason: reply.reason });
  return reply;
}

async function show(picture) {
  stop();
  const mine = ++turn;
  say("Looking …");
  clear();
  caption.textContent = picture.name ?? "";
  try {
    if (picture.size > limits.max_megabytes * 1e6) {
      throw new Error(`The file is over ${limits.max_megabytes} MB: choose a smaller one.`);
    }
    // Not every format that the server reads can be drawn here: then boxes are shown alone.
    const [reply, source] = await Promise.all([
      ask(picture),
      createImageBitmap(picture).catch(() => null),
    ]);
    if (mine !== turn) return;
    shown = { ...reply, source, mirrored: false };
    caption.textContent = [picture.name, `${reply.width} × ${reply.height} pixels`,
      `${Math.round(reply.milliseconds)} ms`, source ? "" : "this browser cannot draw its format"]
      .filter(Boolean).join(" · ");
    paint();
    tell(reply.answers);
  } catch (error) {
    if (mine === turn) say(error.message, true);
  }
}

async function start() {
  const mine = ++turn;
  clear();
  caption.textContent = "";
  say("Waiting for the camera …");
  try {
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
    });
    if (mine !== turn) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    live = stream;
    camera.textContent = "Stop the camera";
    stream.getVideoTracks()[0].addEventListener("ended", stop);
    video.srcObject = stream;
    await video.play();
    shown = { source: video, width: video.videoWidth, height: video.videoHeight, answers: [], mirrored: true };
    repaint(stream);
    await watch(stream);
  } catch (error) {
    if (mine !== turn) return;
    stop();
    say(refusal(error), true);
  }
}

function refusal(error) {
  return {
    NotAllowedError: "The browser may not use the camera: allow it beside the address bar.",
    NotFoundError: "No camera was found.",
    NotReadableError: "The camera is in use by another program.",
    SecurityError: "Browsers allow the camera only at localhost or over https.",
  }[error.name] ?? error.message;
}

function stop() {
  turn += 1;
  live?.getTracks().forEach((track) => track.stop());
  live = null;
  video.srcObject = null;
  camera.textContent = "Use the camera";
  if (shown?.mirrored) {
    clear();
    caption.textContent = "";
    say("The camera is off.");
  }
}

async function watch(stream) {
  const frame = document.createElement("canvas");
  while (stream === live) {
    const began = performance.now();
    if (!document.hidden) {
      [frame.width, frame.height] = [video.videoWidth, video.videoHeight];
      frame.getContext("2d").drawImage(video, 0, 0);
      const picture = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.92));
      await look(stream, picture);
    }
    const left = EVERY - (performance.now() - began);
    await new Promise((done) => setTimeout(done, Math.max(20, left)));
  }
}

async function look(stream, picture) {
  const began = performance.now();
  try {
    const reply = await ask(picture);
    if (stream !== live) return;
    Object.assign(shown, { width: reply.width, height: reply.height, answers: reply.answers });
    caption.textContent = `${reply.width} × ${reply.height} pixels · ${Math.round(performance.now() - began)} ms`;
    tell(reply.answers);
  } catch (error) {
    if (error.reason !== "busy") throw error; // the next frame may have better luck
  }
}

function repaint(stream) {
  if (stream !== live) return;
  paint();
  requestAnimationFrame(() => repaint(stream));
}

function paint() {
  if (!shown) return;
  const { source, width, height, answers, mirrored } = shown;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== size[0]) canvas.width = size[0];
  if (canvas.height !== size[1]) canvas.height = size[1];
  canvas.hidden = false;
  hint.hidden = true;
  stage.classList.add("filled");
  const pen = canvas.getContext("2d");
  pen.setTransform(mirrored ? -scale : scale, 0, 0, scale, mirrored ? size[0] : 0, 0);
  pen.fillStyle = "#888";
  pen.fillRect(0, 0, width, height);
  if (source) pen.drawImage(source, 0, 0, width, height);
  const pixel = width / (canvas.clientWidth || width); // one of the screen's, in the picture's
  answers.forEach((answer, place) => mark(pen, answer, place, pixel));
  if (answers.length > 1) answers.forEach((answer, place) => number(pen, answer, place, pixel));
}

function mark(pen, answer, place, pixel) {
  const colour = COLOURS[place % COLOURS.length];
  for (const [box, dashes] of [[answer.face, []], [answer.crop, [6 * pixel, 4 * pixel]]]) {
    if (!box) continue;
    for (const [style, wide] of [["#0009", 4.5], [colour, 2.5]]) {
      pen.strokeStyle = style;
      pen.lineWidth = wide * pixel;
      pen.setLineDash(dashes);
      pen.strokeRect(...box);
    }
  }
  const points = answer.landmarks ?? answer.lips;
  if (!landmarks.checked || !points) return;
  const dot = Math.min(pixel, answer.face[2] / 100); // else those of a small face run together
  for (const [x, y] of points) {
    for (const [style, radius] of [["#0009", 2.6], ["#fff", 1.7]]) {
      pen.fillStyle = style;
      pen.beginPath();
      pen.arc(x, y, radius * dot, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}

function number(pen, answer, place, pixel) {
  if (!answer.face) return;
  const [left, top, width] = answer.face;
  const side = 22 * pixel;
  pen.save();
  if (shown.mirrored) { // else the figure would be mirrored too
    pen.translate(2 * left + width, 0);
    pen.scale(-1, 1);
  }
  pen.fillStyle = COLOURS[place % COLOURS.length];
  pen.fillRect(left, top, side, side);
  pen.fillStyle = "#000";
  pen.font = `bold ${15 * pixel}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(String(place + 1), left + side / 2, top + side / 2);
  pen.restore();
}

function tell(answers) {
  const sentences = answers.map(sentence);
  const first = answers.length > 1 ? `${answers.length} faces` : sentences[0];
  say(first, answers.length === 1 && !answers[0].label);
  canvas.setAttribute("aria-label", `Picture: ${sentences.join("; ")}`);
  faces.replaceChildren(...answers.flatMap((answer, place) =>
    answer.label || answers.length > 1 ? [card(answer, place, answers.length)] : []));
  legend.hidden = !answers.some((answer) => answer.face);
}

function sentence(answer) {
  if (!answer.label) return REASONS[answer.reason] ?? `No answer: ${answer.reason}`;
  // While the camera runs, percentages would be read out several times a second.
  return live ? answer.label : `${answer.label} ${percent(answer.probabilities[answer.label])}`;
}

function card(answer, place, count) {
  const item = document.createElement("li");
  if (count > 1) {
    item.append(element("h2", "", `Face ${place + 1}`));
    item.style.borderLeft = `5px solid ${COLOURS[place % COLOURS.length]}`;
  }
  if (!answer.label) item.append(element("p", "", sentence(answer)));
  for (const [label, share] of Object.entries(answer.probabilities ?? {})) {
    const row = element("div", label === answer.label ? "row best" : "row");
    const bar = element("span", "");
    bar.style.width = `${100 * share}%`;
    const track = element("span", "bar");
    track.append(bar);
    row.append(element("span", "label", label), element("span", "share", percent(share)), track);
    item.append(row);
  }
  return item;
}

function element(kind, className, text = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function say(text, wrong = false) {
  if (message.textContent !== text) message.textContent = text;
  message.classList.toggle("wrong", wrong);
}

function clear() {
  shown = null;
  canvas.hidden = true;
  canvas.setAttribute("aria-label", "No picture yet");
  hint.hidden = false;
  stage.classList.remove("filled");
  faces.replaceChildren();
  legend.hidden = true;
}

function take(files) {
  const [picture] = files;
  if (picture) show(picture);
  else say("That was no file: save the picture first, then choose it.", true);
}

file.addEventListener("change", () => {
  if (file.files.length) take(file.files);
  file.value = ""; // so that the same file can be chosen again
});
camera.addEventListener("click", () => (live ? stop() : start()));
landmarks.addEventListener("change", paint);
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) stage.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  take(event.dataTransfer.files);
});
new ResizeObserver(paint).observe(stage);

try {
  limits = await (await fetch("/health")).json();
  labels.textContent = limits.labels.join(", ");
} catch {
  say("The server does not answer. Is it still running?", true);
}
