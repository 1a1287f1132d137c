//! The record of every job: one trait of whole use cases over SQLite and PostgreSQL.
