//! The configuration file, its validation, and the types of the control API.
