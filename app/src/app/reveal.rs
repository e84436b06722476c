//! Shows a file in the system's file manager. Add another system in [`system_reveal`].

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Shows a file; called on a thread that may wait. An error is a sentence.
pub type Reveal = Arc<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// With the system's own file manager, the file marked where that can be asked for.
pub fn system_reveal(path: &Path) -> Result<(), String> {
    let done = if cfg!(windows) {
        let mut explorer = Command::new("explorer");
        // It reads its arguments in its own way: the quotation marks stand around the path alone.
        #[cfg(windows)]
        std::os::windows::process::CommandExt::raw_arg(&mut explorer, format!("/select,\"{}\"", path.display()));
        start(&mut explorer)
    } else if cfg!(target_os = "macos") {
        start(Command::new("open").arg("-R").arg(path))
    } else if show_items(path) {
        Ok(())
    } else {
        start(Command::new("xdg-open").arg(path.parent().unwrap_or(path)))
    };
    done.map_err(|error| format!("No file manager could be started ({error}). The picture is {}", path.display()))
}

/// The file managers of Linux desktops mark a file when asked over D-Bus (freedesktop's FileManager1).
fn show_items(path: &Path) -> bool {
    let asked = Command::new("dbus-send")
        .args(["--session", "--print-reply", "--reply-timeout=3000", "--dest=org.freedesktop.FileManager1"])
        .args(["/org/freedesktop/FileManager1", "org.freedesktop.FileManager1.ShowItems"])
        .args([format!("array:string:{}", uri(path)), "string:".to_owned()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Starts a program and does not wait for its end, which is the person's business.
fn start(command: &mut Command) -> std::io::Result<()> {
    let mut program = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // Waited for elsewhere, so that no dead process stays behind.
    std::thread::spawn(move || program.wait());
    Ok(())
}

/// The file as a URI: all but plain letters, digits and a few marks as `%` and two hex digits (RFC 3986, 2.1).
fn uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_without_commas_or_spaces() {
        assert_eq!(uri(Path::new("/home/a b/é,1.png")), "file:///home/a%20b/%C3%A9%2C1.png");
    }
}
