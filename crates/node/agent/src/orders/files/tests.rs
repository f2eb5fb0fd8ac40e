use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A root with `/etc/chrony/chrony.conf`, and a data directory.
struct Ground {
    dir: tempfile::TempDir,
    files: Files,
}

const FORMER: &str = "pool debian.pool.ntp.org\n";

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let (root, data_dir) = (dir.path().join("root"), dir.path().join("data"));
    fs::create_dir_all(root.join("etc/chrony")).unwrap();
    fs::write(root.join("etc/chrony/chrony.conf"), FORMER).unwrap();
    fs::set_permissions(root.join("etc/chrony/chrony.conf"), fs::Permissions::from_mode(0o664)).unwrap();
    Ground { dir, files: Files { root, data_dir } }
}

fn file(path: &str, content: &str) -> File {
    File { path: path.into(), content: content.into(), ..File::default() }
}

impl Ground {
    fn path(&self, path: &str) -> PathBuf {
        self.files.root.join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    fn ensure(&self, files: &[File]) -> Vec<String> {
        self.files.ensure(files).unwrap()
    }

    /// Everything below the root: directories, files with mode and content, links.
    fn tree(&self) -> Vec<String> {
        let mut rows = Vec::new();
        let mut ahead = vec![self.files.root.clone()];
        while let Some(path) = ahead.pop() {
            let found = fs::symlink_metadata(&path).unwrap();
            let what = if found.is_dir() {
                ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                "directory".to_owned()
            } else if found.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                "other".to_owned()
            };
            rows.push(format!("{} {:o} {what}", path.display(), found.permissions().mode()));
        }
        rows.sort();
        rows
    }

    /// The refusal of these files, after which all is as it was.
    fn refusal(&self, files: &[File]) -> String {
        let before = self.tree();
        let error = self.files.ensure(files).unwrap_err();
        assert!(error.is_refusal(), "{error:?}");
        assert_eq!(self.tree(), before, "{error:?}");
        assert!(!self.files.note().exists(), "{error:?}");
        chain(&error)
    }
}

#[test]
fn files_are_brought_about_once_and_all_is_as_it_was_at_the_end() {
    let ground = ground();
    let before = ground.tree();
    let wish = [
        file("/etc/chrony/chrony.conf", "server 192.0.2.1\n"),
        File { mode: "0600".into(), ..file("/etc/app/conf.d/10-site.conf", "a=1\n") },
        file("/srv/www/index.html", ""),
    ];
    assert_eq!(
        ground.ensure(&wish),
        [
            "/etc/app/conf.d/10-site.conf: written",
            "/etc/chrony/chrony.conf: changed",
            "/srv/www/index.html: written"
        ]
    );
    assert_eq!(ground.text("/etc/chrony/chrony.conf"), "server 192.0.2.1\n");
    assert_eq!((ground.mode("/etc/chrony/chrony.conf"), ground.mode("/srv/www/index.html")), (0o644, 0o644));
    assert_eq!((ground.mode("/etc/app/conf.d/10-site.conf"), ground.mode("/etc/app")), (0o600, 0o755));
    let after = ground.tree();
    assert_eq!(ground.ensure(&wish), Vec::<String>::new());
    assert_eq!(ground.tree(), after);
    assert_eq!(
        ground.ensure(&[file("/etc/chrony/chrony.conf", "other\n")]),
        ["/etc/chrony/chrony.conf: changed"]
    );
    for _ in 0..2 {
        ground.files.restore().unwrap();
        assert_eq!(ground.tree(), before);
        assert!(!ground.files.note().exists());
    }
}

#[test]
fn the_mode_alone_is_brought_about_too_and_what_is_right_is_not_noted() {
    let ground = ground();
    let wish = [file("/etc/chrony/chrony.conf", FORMER)];
    assert_eq!(ground.ensure(&wish), ["/etc/chrony/chrony.conf: changed"]);
    assert_eq!(ground.mode("/etc/chrony/chrony.conf"), 0o644);
    ground.files.restore().unwrap();
    assert_eq!(ground.mode("/etc/chrony/chrony.conf"), 0o664);
    fs::set_permissions(ground.path("/etc/chrony/chrony.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ground.ensure(&wish), Vec::<String>::new());
    assert!(!ground.files.note().exists());
}

#[test]
fn what_another_changed_or_put_there_since_is_left_to_them() {
    let ground = ground();
    ground.ensure(&[
        file("/etc/chrony/chrony.conf", "ours"),
        file("/etc/app/a", "ours"),
        file("/etc/app/b", "ours"),
    ]);
    fs::write(ground.path("/etc/chrony/chrony.conf"), "theirs").unwrap();
    fs::write(ground.path("/etc/app/c"), "theirs").unwrap();
    fs::remove_file(ground.path("/etc/app/b")).unwrap();
    ground.files.restore().unwrap();
    assert_eq!(ground.text("/etc/chrony/chrony.conf"), "theirs");
    assert!(ground.path("/etc/app/c").exists());
    assert!(!ground.path("/etc/app/a").exists() && !ground.path("/etc/app/b").exists());
}

#[test]
fn an_agent_that_died_before_or_after_the_file_was_put_in_place_brings_the_first_one_back() {
    for in_place in ["first", "second"] {
        let ground = ground();
        let path = "/etc/chrony/chrony.conf";
        ground.ensure(&[file(path, "first")]);
        ground.ensure(&[file(path, "second")]);
        // As it is between the note and the change, and with the rest of an earlier death beside it.
        fs::write(ground.path(path), in_place).unwrap();
        fs::write(ground.path("/etc/chrony/.muster-new"), "half").unwrap();
        ground.files.restore().unwrap();
        assert_eq!(ground.text(path), FORMER, "{in_place}");
        assert!(!ground.path("/etc/chrony/.muster-new").exists());
    }
}

#[test]
fn one_bad_wish_and_nothing_is_done() {
    let ground = ground();
    symlink("/tmp", ground.path("/etc/chrony/link.d")).unwrap();
    symlink("chrony.conf", ground.path("/etc/chrony/link.conf")).unwrap();
    symlink("chrony", ground.path("/etc/ntp")).unwrap();
    fs::create_dir(ground.path("/etc/chrony/conf.d")).unwrap();
    nix::unistd::mkfifo(&ground.path("/etc/chrony/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(ground.path("/etc/chrony/large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let rows = [
        ("/etc/shadow", "arguments.files[1]: path \"/etc/shadow\": a role's files lie below"),
        (
            "/etc/sudoers.d/x",
            "arguments.files[1]: path \"/etc/sudoers.d/x\": /etc/sudoers.d is not for the files",
        ),
        (
            "/etc/chrony/../shadow",
            "arguments.files[1]: path \"/etc/chrony/../shadow\": a role's files lie below",
        ),
        (
            "/etc/chrony/link.d/x",
            "/etc/chrony/link.d is a symbolic link, which could lead anywhere: name the file",
        ),
        ("/etc/chrony/link.conf", "/etc/chrony/link.conf is a symbolic link"),
        ("/etc/ntp/x", "/etc/ntp is a symbolic link"),
        ("/etc/chrony/chrony.conf/x", "/etc/chrony/chrony.conf is no directory"),
        ("/etc/chrony/conf.d", "no plain file: move it away"),
        ("/etc/chrony/fifo", "no plain file: move it away"),
        (
            "/etc/chrony/large",
            "1048577 bytes are in its place, more than 1048576 that can be kept: move them away",
        ),
    ];
    for (path, expected) in rows {
        let said = ground.refusal(&[file("/etc/chrony/good", "x"), file(path, "x")]);
        assert!(said.contains(expected) && said.contains(path), "{path}: {said}");
    }
    let twice = ground.refusal(&[file("/srv/x", "a"), file("/srv/x", "b")]);
    assert_eq!(
        twice,
        "arguments.files[1]: path \"/srv/x\" stands twice, with another content or mode: name it once"
    );
    assert_eq!(ground.refusal(&[]), "arguments.files: this verb needs files");
    let many: Vec<File> = (0..33).map(|number| file(&format!("/srv/{number}"), "")).collect();
    assert_eq!(ground.refusal(&many), "arguments.files: 33 files are more than 32");
}

#[test]
fn no_role_writes_into_the_data_of_muster_by_whatever_name_it_goes() {
    let mut ground = ground();
    ground.files.data_dir = ground.path("/srv/muster");
    let said = ground.refusal_in_data("/srv/muster/orders.json");
    assert!(said.contains("/srv/muster is Muster's own data"), "{said}");
    // The data directory is named by another path that leads there.
    symlink(ground.path("/srv/muster"), ground.dir.path().join("alias")).unwrap();
    ground.files.data_dir = ground.dir.path().join("alias");
    let said = ground.refusal_in_data("/srv/muster/pods/x");
    assert!(said.contains("/srv/muster is Muster's own data"), "{said}");
}

impl Ground {
    fn refusal_in_data(&self, path: &str) -> String {
        let error = self.files.ensure(&[file(path, "x")]).unwrap_err();
        assert!(error.is_refusal() && !self.path(path).exists(), "{error:?}");
        chain(&error)
    }
}

#[test]
fn what_cannot_be_written_is_told_with_the_step_and_tried_again_from_the_start() {
    let ground = ground();
    // Whoever has the root may write anywhere but where nobody can.
    let note = ground.files.note();
    fs::create_dir_all(note.with_extension("next")).unwrap();
    let error = ground.files.ensure(&[file("/etc/app/a", "x")]).unwrap_err();
    assert!(
        !error.is_refusal() && chain(&error).starts_with("cannot keep the note of former files"),
        "{error:?}"
    );
    assert!(!ground.path("/etc/app").exists());
    fs::remove_dir(note.with_extension("next")).unwrap();
    assert_eq!(ground.ensure(&[file("/etc/app/a", "x")]), ["/etc/app/a: written"]);
}
