"""Trains the subjectivity classifier behind the objective `factual`.

    python -m scripts.shipped.train_factual --data FOLDER --out value_models/shipped/subjectivity

Plot summaries (objective) against review sentences (subjective). A tenth is held out for the accuracy that ships in
config.json. The probabilities are calibrated: the slope and offset that fit the out-of-fold logits of the other nine
tenths best are folded into weights and bias, so inference stays one dot product, and the script refuses to end unless
the numpy inference equals scikit-learn's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.preprocessing import normalize

from scripts.shipped.dialogues import read_rows
from value_models.rewards.factual import SubjectivityClassifier, ngrams

CORPUS = "reward_subjectivity.jsonl.gz"
C = 10.0
MIN_DOCUMENTS = 3


def main(
    data: Annotated[Path, typer.Option(help="folder with reward_subjectivity.jsonl.gz")],
    out: Annotated[Path, typer.Option(help="classifier folder to write")],
    seed: int = 0,
) -> None:
    """Train, calibrate, check and save the subjectivity classifier."""
    rows = list(read_rows(data / CORPUS))
    texts = [row["text"] for row in rows]
    labels = np.array([row["label"] == "obj" for row in rows], dtype=np.int64)
    train, held, y, y_held = train_test_split(texts, labels, test_size=0.1, random_state=seed, stratify=labels)

    vectorizer = CountVectorizer(analyzer=ngrams, binary=True, min_df=MIN_DOCUMENTS)
    features = normalize(vectorizer.fit_transform(train))
    model = LogisticRegression(C=C, max_iter=2000)
    out_of_fold = cross_val_predict(model, features, y, cv=5, method="decision_function")
    model.fit(features, y)
    calibration = LogisticRegression(C=1e6).fit(out_of_fold[:, None], y)
    slope, offset = float(calibration.coef_[0, 0]), float(calibration.intercept_[0])

    weights = (slope * model.coef_[0]).astype(np.float32)
    bias = np.array([slope * model.intercept_[0] + offset], dtype=np.float32)
    logits = slope * model.decision_function(normalize(vectorizer.transform(held))) + offset
    report = {
        "accuracy_5_fold": round(float(np.mean((out_of_fold > 0) == y)), 4),
        "accuracy_held_out": round(float(np.mean((logits > 0) == y_held)), 4),
        "log_loss_held_out_nats": round(_log_loss(logits, y_held), 4),
        "calibration_error_held_out": round(_calibration_error(logits, y_held), 4),
        "trained_on": len(train),
        "held_out": len(held),
        "seed": seed,
        "C": C,
    }
    _save(out, [str(gram) for gram in vectorizer.get_feature_names_out()], weights, bias, report)
    _check(out, held, logits)
    print(json.dumps(report, indent=2))


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits))))


def _calibration_error(logits: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 10) -> float:
    """Mean absolute gap between predicted and observed share of "objective" over equal-width bins."""
    p = 1 / (1 + np.exp(-logits))
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [(place == b).mean() * abs(p[place == b].mean() - labels[place == b].mean()) for b in np.unique(place)]
    return float(sum(gaps))


def _save(
    out: Path, vocabulary: list[str], weights: NDArray[np.float32], bias: NDArray[np.float32], report: dict[str, Any]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_file({"weights": weights, "bias": bias}, out / "model.safetensors")
    config = {
        "kind": "subjectivity-classifier",
        "features": "presence of word 1- and 2-grams, L2-normalised",
        "positive_class": "objective",
        "training": report,
        "vocabulary": vocabulary,
    }
    (out / "config.json").write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_card(report), encoding="utf-8")


def _check(out: Path, texts: list[str], logits: NDArray[np.float64]) -> None:
    """Raises unless the shipped inference gives scikit-learn's probabilities to 1e-5."""
    classifier = SubjectivityClassifier.from_folder(out)
    ours = np.array([classifier.probability(text) for text in texts])
    difference = float(np.abs(ours - 1 / (1 + np.exp(-logits))).max())
    if difference > 1e-5:
        raise RuntimeError(f"numpy inference differs from scikit-learn by {difference:.2e}: must be at most 1e-5")


def _card(report: dict[str, Any]) -> str:
    return f"""# Subjectivity classifier

Probability that a text is objective (plain statement) rather than subjective (opinion), from its wording alone. It
does not know what is true. The objective `factual` is this probability of a response.

| | |
|---|---|
| model | logistic regression over the presence of word 1- and 2-grams, L2-normalised; numpy inference |
| data | subjectivity dataset (Pang and Lee 2004) as in nltk_data, CC BY 4.0: plot summaries against reviews |
| trained on | {report["trained_on"]} sentences, seed {report["seed"]}, C = {report["C"]} |
| held-out accuracy | {report["accuracy_held_out"]:.3f} on {report["held_out"]} sentences |
| 5-fold accuracy | {report["accuracy_5_fold"]:.3f} |
| held-out log loss | {report["log_loss_held_out_nats"]:.3f} nats |
| held-out calibration error | {report["calibration_error_held_out"]:.3f} |

Made by `python -m scripts.shipped.train_factual`. The training sentences are about movies; words that only say so are
left out of the features. On chat the first and second person pull towards subjective, names, numbers and the third
person towards objective.
"""


if __name__ == "__main__":
    typer.run(main)
