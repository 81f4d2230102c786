"""From labelled trees to value folders: labels, targets, training, measures, the run that chains them."""
