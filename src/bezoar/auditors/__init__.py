"""Views of a model under audit -> a statistic per class: one file per channel."""
