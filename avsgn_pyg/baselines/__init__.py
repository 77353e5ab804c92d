"""Published methods on the same segment features: one file per method, with its model and its objective.

They read a batch of graphs as two dense streams [B, T, d] and return a Localization, so they share trainer, metrics and
figures with AVSGN. ``docs/baselines.md`` lists the differences between papers, published code and these files.
"""
