"""What writes configs: where a module goes, own classes, the way back."""
