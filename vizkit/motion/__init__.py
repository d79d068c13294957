"""The papers, one folder each. They never import each other."""
