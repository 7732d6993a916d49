"""How the weights of pitch=builtin were made: SwiftF0's network with fewer channels, taught by SwiftF0."""
