"""How pitch_stream.safetensors, the pitch network of streaming graphs, was made: causal, taught by SwiftF0."""
