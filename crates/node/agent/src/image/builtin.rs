//! The two images that need no registry: their programs were compiled with this crate.

use super::archive::{Archive, File, Platform};

/// Holds a pod's namespaces.
pub const PAUSE: &str = "muster.local/pause:1";
/// The sample application: answers HTTP on port 8080.
pub const HELLO: &str = "muster.local/hello:1";

const PAUSE_PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
const HELLO_PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

fn one_program(name: &str, path: &str, program: &'static [u8]) -> Archive {
    Archive {
        name: name.to_owned(),
        platform: Platform::current(),
        files: vec![File { path: path.to_owned(), mode: 0o755, content: program.to_vec() }],
        entrypoint: vec![format!("/{path}")],
        environment: vec!["PATH=/".to_owned()],
        user: "65535:65535".to_owned(),
        exposed_ports: Vec::new(),
    }
}

pub fn pause() -> Archive {
    one_program(PAUSE, "pause", PAUSE_PROGRAM)
}

pub fn hello() -> Archive {
    Archive { exposed_ports: vec!["8080/tcp".to_owned()], ..one_program(HELLO, "hello", HELLO_PROGRAM) }
}
