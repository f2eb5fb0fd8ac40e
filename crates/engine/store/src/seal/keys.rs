//! The file with the keys: readable by its owner only, a line each, the newest last.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

const KEY_BYTES: usize = 32;
const HEAD: &str = "# Keys of the encrypted values in the data directory: NUMBER KEY, in hexadecimal, the newest last.\n\
                    # Without this file those values are lost: keep it with every backup of the store, and apart from it.\n";

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: cannot {step}; check its owner and the free space", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error("{}: others may read it (mode {mode:o}); run chmod 600 on it, and think about a new key", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is no key.
    #[error("{}:{line}: not NUMBER KEY in hexadecimal, 8 and 64 digits; restore the file as it was", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a key")]
    Random,
}

struct DataKey {
    number: u32,
    secret: [u8; KEY_BYTES],
    aead: LessSafeKey,
}

/// The keys of one data directory. New values are encrypted with the newest, older keys open what they encrypted.
pub struct DataKeys {
    path: PathBuf,
    keys: Vec<DataKey>,
    /// Whether the newest is in the file.
    written: bool,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys of {}", self.keys.len(), self.path.display())
    }
}

impl DataKeys {
    /// Reads the keys. Where there is no file a first key is made; it is written when the store has been opened with it,
    /// so that a file that was lost is not replaced by one that opens nothing.
    ///
    /// # Errors
    /// [`KeyError`]: the file cannot be read, is readable by others, or holds something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let mut keys = Self { keys: Vec::new(), written: true, path };
        match fs::read_to_string(&keys.path) {
            Ok(text) => keys.read(&text)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(keys.failed("read", source)),
        }
        if keys.keys.is_empty() {
            keys.add()?;
        }
        Ok(keys)
    }

    /// Makes a new key for what is written from now on, and writes it to the file at once. What older keys encrypted
    /// stays readable; it is encrypted anew when a checkpoint is written.
    ///
    /// # Errors
    /// [`KeyError`]: the file cannot be written.
    pub fn rotate(&mut self) -> Result<(), KeyError> {
        self.add()?;
        self.persist()
    }

    /// Writes the file if it lacks the newest key.
    pub(crate) fn persist(&self) -> Result<(), KeyError> {
        if self.written && self.path.exists() {
            return Ok(());
        }
        let mut text = HEAD.to_owned();
        for key in &self.keys {
            text.push_str(&format!("{:08x} ", key.number));
            key.secret.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text.push('\n');
        }
        if let Some(parent) = self.path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(|source| self.failed("make the directory", source))?;
        }
        let beside = self.path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let written = file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            fs::File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
        });
        written.map_err(|source| self.failed("write", source))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn newest(&self) -> (u32, &LessSafeKey) {
        let key = self.keys.last().expect("a set of keys is never empty");
        (key.number, &key.aead)
    }

    pub(super) fn numbered(&self, number: u32) -> Option<&LessSafeKey> {
        self.keys.iter().find(|key| key.number == number).map(|key| &key.aead)
    }

    fn failed(&self, step: &'static str, source: io::Error) -> KeyError {
        KeyError::File { path: self.path.clone(), step, source }
    }

    fn read(&mut self, text: &str) -> Result<(), KeyError> {
        let metadata = fs::metadata(&self.path).map_err(|source| self.failed("read", source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: self.path.clone(), mode });
        }
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let key = parse(line);
            let key = key.ok_or_else(|| KeyError::Line { path: self.path.clone(), line: index + 1 })?;
            self.keys.push(key);
        }
        Ok(())
    }

    fn add(&mut self) -> Result<(), KeyError> {
        let random = SystemRandom::new();
        let (mut number, mut secret) = ([0; 4], [0; KEY_BYTES]);
        random.fill(&mut number).and_then(|()| random.fill(&mut secret)).map_err(|_| KeyError::Random)?;
        self.keys.push(key(u32::from_le_bytes(number), secret));
        self.written = false;
        Ok(())
    }
}

fn key(number: u32, secret: [u8; KEY_BYTES]) -> DataKey {
    let unbound = UnboundKey::new(&AES_256_GCM, &secret).expect("a key of 32 bytes fits the cipher");
    DataKey { number, secret, aead: LessSafeKey::new(unbound) }
}

fn parse(line: &str) -> Option<DataKey> {
    let (number, digits) = line.trim().split_once(' ')?;
    if number.len() != 8 || digits.len() != 2 * KEY_BYTES || !digits.is_ascii() {
        return None;
    }
    let mut secret = [0; KEY_BYTES];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(key(u32::from_str_radix(number, 16).ok()?, secret))
}
