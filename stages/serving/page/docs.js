// Renders openapi.json: for each operation what to send and what comes back.

const main = document.getElementById("schema");

function element(kind, ...parts) {
  const made = document.createElement(kind);
  made.append(...parts);
  return made;
}

function resolved(api, part) {
  return part?.$ref ? part.$ref.slice(2).split("/").reduce((node, name) => node[name], api) : part;
}

function table(heads, rows) {
  const cells = (kind, row) => element("tr", ...row.map((cell) => element(kind, cell)));
  return element("table", element("thead", cells("th", heads)),
    element("tbody", ...rows.map((row) => cells("td", row))));
}

function kindOf(api, schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const kinds = [schema.type].flat().filter(Boolean).join(" or ");
  return schema.items ? `${kinds} of ${kindOf(api, schema.items)}` : kinds;
}

function article(api, path, method, operation) {
  const made = element("article", element("h2", element("code", `${method.toUpperCase()} ${path}`)),
    element("p", operation.summary));
  if (operation.description) made.append(element("p", operation.description));
  for (const sample of operation["x-codeSamples"] ?? []) {
    made.append(element("pre", element("code", sample.source.replaceAll("{server}", location.origin))));
  }
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const described = resolved(api, response);
    const [content] = Object.values(described.content ?? {});
    return [status, described.description, content ? kindOf(api, content.schema) : ""];
  });
  made.append(element("h3", "Replies"), table(["Status", "Meaning", "Body"], rows));
  return made;
}

function shape(api, name, schema) {
  const made = element("article", element("h2", element("code", name)), element("p", schema.description));
  made.append(table(["Name", "Type", "Meaning"], Object.entries(schema.properties).map(
    ([field, kind]) => [element("code", field), kindOf(api, kind), kind.description ?? ""])));
  for (const example of schema.examples ?? []) {
    made.append(element("pre", element("code", JSON.stringify(example, null, 2))));
  }
  return made;
}

const api = await (await fetch("/openapi.json")).json();
document.getElementById("about").textContent = api.info.description;
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    main.append(article(api, path, method, operation));
  }
}
for (const [name, schema] of Object.entries(api.components.schemas)) {
  main.append(shape(api, name, schema));
}
