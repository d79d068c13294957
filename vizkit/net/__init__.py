"""Networks: shared tensor functions, backbones, and one forward pass that can be looked into."""
