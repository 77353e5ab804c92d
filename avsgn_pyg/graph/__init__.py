"""A model's input and output: features become HeteroData and batches; a Localization is decoded into events."""
