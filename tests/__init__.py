"""The tests, which mirror the package room by room."""
