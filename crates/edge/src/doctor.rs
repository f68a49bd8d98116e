//! Checks of the host and the set-up, as data.

use ringfence_control::api::Doctor;
use ringfence_control::config::Config;

/// Checks what a running edge stands on.
pub fn check_running(_config: &Config) -> Doctor {
    Doctor::default()
}
