"""From a trained run to a verified voice: contract, graph, verification, delivery."""
