//! What a data directory shows of Secrets to who reads its files.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_apiserver::Object;
use muster_store::{Config, DataKeys, Sealing, Store};
use serde_json::json;

use crate::harness::{World, config_map};

const WORD: &str = "a word that nobody else writes";

fn open(dir: &Path) -> Store<Object> {
    let keys = DataKeys::open(dir.join("pki/data.keys")).expect("keys");
    let sealing = Some(Sealing::new(keys, &["secrets"]));
    let config = Config { sealing, checkpoint_after_bytes: 16 << 10, ..Config::new(dir.join("store")) };
    Store::open(config).expect("the directory opens").0
}

/// Whether a file below a directory holds one of these texts.
fn shows(dir: &Path, texts: &[&str]) -> bool {
    fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return shows(&path, texts);
        }
        let bytes = fs::read(path).expect("a file");
        texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

#[tokio::test]
async fn the_data_of_a_secret_stands_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let encoded = STANDARD.encode(WORD);
    let path = "/api/v1/namespaces/default/secrets";
    {
        let world = World::on(open(dir.path())).await;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"word": WORD},
        });
        assert_eq!(world.admin().post(path, &secret).await.code, 201);
        for n in 0..40 {
            let label = json!({"metadata": {"labels": {"n": n.to_string()}}});
            assert_eq!(world.admin().patch(&format!("{path}/s"), "merge-patch+json", &label).await.code, 200);
        }
        let map = config_map("m", "what everybody may read");
        assert_eq!(world.admin().post("/api/v1/namespaces/default/configmaps", &map).await.code, 201);
        world.server.store().clone().close().await;
    }
    assert!(shows(dir.path(), &["what everybody may read"]), "the search finds what is there");
    assert!(!shows(dir.path(), &[WORD, &encoded]));
    let world = World::on(open(dir.path())).await;
    assert_eq!(world.admin().get(&format!("{path}/s")).await.body["data"]["word"], encoded);
}
