"""The fields of configs: accepted values, meaning, rules and overrides."""
