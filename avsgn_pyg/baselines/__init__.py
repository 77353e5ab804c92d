"""Published methods on the same segment features: one file is one method, its model and its objective.

They read a batch of graphs as two dense streams [B, T, d] and answer with a Localization, so that trainer, metrics and
figures are those of AVSGN. ``docs/baselines.md`` says where papers, published code and these files differ.
"""
