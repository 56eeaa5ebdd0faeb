"""What writes configs: where a module goes, specialize, own classes."""
