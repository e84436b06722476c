//! What the window asks of the desktop: to show a file in the file manager, and to open a file or folder with another
//! program. The first is done here: the crate `opener`, which does it too, brings twenty more crates for URLs along. Add
//! another system in [`reveal`].

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Opens a file or folder with the program that the desktop has for it. Waits for as long as that takes.
pub fn open(path: &Path) -> io::Result<()> {
    ::open::that(path)
}

/// Shows a file in the file manager, selected if the system supports it; otherwise its folder. Takes up to three seconds.
/// The error is a sentence.
pub fn reveal(path: &Path) -> Result<(), String> {
    let done = if cfg!(windows) {
        let mut explorer = Command::new("explorer");
        // It reads its arguments in its own way: only the path is quoted.
        #[cfg(windows)]
        std::os::windows::process::CommandExt::raw_arg(&mut explorer, format!("/select,\"{}\"", path.display()));
        start(&mut explorer)
    } else if cfg!(target_os = "macos") {
        start(Command::new("open").arg("-R").arg(path))
    } else if show_items(path) {
        Ok(())
    } else {
        ::open::that_detached(path.parent().unwrap_or(path))
    };
    done.map_err(|error| format!("No file manager could be started ({error}). The picture is {}", path.display()))
}

/// Asks the file manager over D-Bus, as Linux desktops have agreed (freedesktop's FileManager1).
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

/// Starts a program without waiting for it to end.
fn start(command: &mut Command) -> io::Result<()> {
    let mut program = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // Somebody has to wait for it, or its entry in the table of processes stays.
    std::thread::spawn(move || program.wait());
    Ok(())
}

/// The path as a file URI: every byte except letters, digits and `/-._~` becomes `%` and two hex digits (RFC 3986, 2.1).
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
