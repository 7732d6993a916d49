"""Training: losses, augmentation, fitting, callbacks, checkpoints."""
