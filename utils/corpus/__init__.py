"""From a folder of recordings to a dataset, and from a dataset to training batches."""
