"""The platform's pages: forms, tests, choices, syncs as they run, tables. No build step."""
