//! Where the system wants a program to keep what is its own. Change here for another system's customs.

use std::path::PathBuf;

/// The program's folder: on Linux `instaflow` under the folder that `variable` names or else `fallback` in the person's
/// home; elsewhere under the one that the system gives programs for their files.
pub fn own(variable: &str, fallback: [&str; 2]) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let at_home = |names: [&str; 2]| Some(std::env::home_dir()?.join(names[0]).join(names[1]));
    let folder = if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        at_home(["Library", "Application Support"])?
    } else {
        absolute(variable).or_else(|| at_home(fallback))?
    };
    Some(folder.join("instaflow"))
}
