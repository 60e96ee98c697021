"""Rule files: TOML to checked rules and playbooks, with the place of every mistake."""
