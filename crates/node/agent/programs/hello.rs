//! The sample application: a tiny HTTP server. `GET /` answers with its host name and how often it was asked,
//! `GET /healthz` with `ok`. Ends on TERM. Listens on `$PORT`, by default 8080.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

static ASKED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(code: i32) -> !;
}

extern "C" fn end(_: i32) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { _exit(0) }
}

fn main() {
    // SAFETY: the handler only calls _exit. PID 1 ignores TERM unless it has a handler.
    unsafe { signal(15, end as extern "C" fn(i32) as usize) };
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = match TcpListener::bind(format!("0.0.0.0:{port}")) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("hello: cannot listen on port {port}: {error}");
            process::exit(1);
        }
    };
    println!("hello: {} listens on port {port}", host());
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            if let Err(error) = serve(&stream) {
                eprintln!("hello: connection ended: {error}");
            }
        });
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut close = false;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            close |= header.to_ascii_lowercase().trim() == "connection: close";
        }
        let (status, body) = match first.split_whitespace().nth(1) {
            Some("/") => {
                let count = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
                println!("hello: GET / {count}");
                ("200 OK", format!("hello from {}, request {count}\n", host()))
            }
            Some("/healthz") => ("200 OK", "ok\n".to_owned()),
            _ => ("404 Not Found", "not found\n".to_owned()),
        };
        let mut out = stream;
        let length = body.len();
        write!(out, "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}")?;
        if close {
            return Ok(());
        }
    }
}
