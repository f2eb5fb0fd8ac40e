//! Our strategic merge beside upstream's, on generated cases.

mod generate;

use std::io::Write;
use std::process::{Command, Stdio};

use muster_schema::{Catalog, merge};
use serde_json::{Value, json};

use crate::upstream;
use generate::Generator;

const CASES_PER_KIND: u64 = 2_000;
/// Upstream refuses to order lists that are empty on both sides; we leave them empty.
const NOTHING_TO_ORDER: &str = "no elements in any of the given slices";
const KINDS: [(&str, &str, &str); 6] = [
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Node"),
    ("", "v1", "ServiceAccount"),
    ("apps", "v1", "Deployment"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// Builds the oracle outside of the tree; says why if it cannot be had.
fn oracle() -> Result<std::path::PathBuf, String> {
    upstream::module("k8s.io/apimachinery@v0.37.2")?;
    let folder = std::env::temp_dir().join("muster-strategic-oracle");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let program = folder.join("oracle");
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo does not say where the crate lies")?;
    let source = std::path::Path::new(&here).join("tests/schema/oracle");
    let built =
        Command::new("go").args(["build", "-C"]).arg(source).arg("-o").arg(&program).arg(".").output();
    let built = built.map_err(|error| format!("go cannot be run: {error}"))?;
    if built.status.success() {
        Ok(program)
    } else {
        Err(String::from_utf8_lossy(&built.stderr).into_owned())
    }
}

fn ask(program: &std::path::Path, cases: &[Value]) -> Vec<Value> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle was built");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).expect("the oracle reads"));
    let output = child.wait_with_output().expect("the oracle ends");
    writer.join().expect("all cases are written");
    let answers = String::from_utf8(output.stdout).expect("the oracle writes UTF-8");
    answers.lines().map(|line| serde_json::from_str(line).expect("the oracle writes JSON")).collect()
}

#[test]
fn generated_patches_merge_as_upstream_merges_them() {
    let program = match oracle() {
        Ok(program) => program,
        Err(why) => return upstream::skipped("strategic merge oracle", &why),
    };
    for (group, version, name) in KINDS {
        let kind = Catalog::builtin().kind(group, version, name).expect("a built-in kind");
        let cases: Vec<Value> = (0..CASES_PER_KIND)
            .map(|seed| {
                let mut generator = Generator::new(seed);
                let original = generator.object(&kind.schema);
                let patch = generator.patch(&kind.schema);
                json!({"kind": format!("{}/{name}", kind.gvk.api_version()), "original": original, "patch": patch})
            })
            .collect();
        let answers = ask(&program, &cases);
        assert_eq!(answers.len(), cases.len());
        let mut merged = 0;
        for (case, answer) in cases.iter().zip(&answers) {
            let mut target = case["original"].clone();
            let ours = merge::strategic(&kind.schema, &mut target, &case["patch"]).map(|()| target);
            match (&ours, answer.get("merged")) {
                (Ok(ours), Some(theirs)) => {
                    assert_eq!(
                        ours, theirs,
                        "{name}: original {}\npatch {}",
                        case["original"], case["patch"]
                    );
                    merged += 1;
                }
                (Err(_), None) => {}
                (Ok(_), None) if answer["error"] == NOTHING_TO_ORDER => {}
                (ours, _) => panic!("{name}: {case}\nours: {ours:?}\ntheirs: {answer}"),
            }
        }
        assert!(merged > CASES_PER_KIND / 2, "{name}: only {merged} cases were merged at all");
    }
}
