//! `ringfence demo`.

use crate::Exit;
use crate::args::DemoOptions;

/// Runs the main job on this machine.
pub(crate) fn demo(options: &DemoOptions, json: bool) -> anyhow::Result<Exit> {
    anyhow::bail!("the simulated peers are not part of this build ({options:?}, json {json})")
}
