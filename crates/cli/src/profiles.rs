//! `ringfence profiles`.

use ringfence_control::profile;

use crate::Exit;

/// Lists the profiles, or shows one as the file that it is.
pub(crate) fn profiles(name: Option<&str>, json: bool) -> anyhow::Result<Exit> {
    let Some(name) = name else {
        if json {
            println!("{}", serde_json::to_string_pretty(profile::all())?);
            return Ok(Exit::Ok);
        }
        for profile in profile::all() {
            let (kind, title) = (profile.file.kind.as_str(), &profile.file.title);
            println!("{:<22} {kind:<6} {title}", profile.name);
        }
        return Ok(Exit::Ok);
    };
    let profile = profile::find(name)
        .ok_or_else(|| anyhow::anyhow!("there is no profile {name:?}; see `ringfence profiles`"))?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(profile)?),
        false => print!("{}", profile.text),
    }
    Ok(Exit::Ok)
}
