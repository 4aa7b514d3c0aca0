"""Prediction: `Predictor` is what other programs import."""

from stages.predict.predictor import Predictor as Predictor
