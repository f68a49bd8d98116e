//! Records in SQLite behind one trait.
