"""What outlives the process: presets and preferences in SQLite or PostgreSQL."""
