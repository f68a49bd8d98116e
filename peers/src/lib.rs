//! Real programs started, watched and stopped.
