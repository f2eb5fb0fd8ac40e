//! Volumes of a pod.

use crate::error::FieldError;
use crate::validate::names;
use crate::validate::spot::Spot;

use super::container::descends;

/// Octal 0777.
const MODE_MAX: i64 = 511;

/// The names of the volumes that are sound.
pub(super) fn check<'a>(volumes: &Spot<'a>, errors: &mut Vec<FieldError>) -> Vec<&'a str> {
    let mut sound: Vec<&str> = Vec::new();
    for volume in volumes.items() {
        let before = errors.len();
        source(&volume, errors);
        let name = volume.child("name");
        name.name(names::dns1123_label, errors);
        if sound.contains(&name.text()) {
            errors.push(FieldError::duplicate(&name.path, name.value.clone()));
        }
        if errors.len() == before {
            sound.push(name.text());
        }
    }
    sound
}

fn source(volume: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let fields = volume.value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut kinds = fields.filter(|name| *name != "name" && !volume.child(name).is_absent());
    let Some(kind) = kinds.next() else {
        errors.push(volume.required("must specify a volume type"));
        return;
    };
    for other in kinds {
        errors.push(volume.child(other).forbidden("may not specify more than 1 volume type"));
    }
    let source = volume.child(kind);
    match kind {
        "hostPath" => host_path(&source, errors),
        "configMap" => keyed(&source, &source.child("name"), errors),
        "secret" => keyed(&source, &source.child("secretName"), errors),
        "persistentVolumeClaim" if source.child("claimName").is_empty() => {
            errors.push(source.child("claimName").required(""));
        }
        "projected" => projected(&source, errors),
        "downwardAPI" => {
            mode(&source.child("defaultMode"), errors);
            source
                .child("items")
                .items()
                .for_each(|item| path(&item.child("path"), &source.child("path").path, errors));
        }
        _ => {}
    }
}

fn host_path(source: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let path = source.child("path");
    if path.is_empty() {
        errors.push(path.required(""));
    } else if path.text().split('/').any(|part| part == "..") {
        errors.push(path.invalid("must not contain '..'"));
    }
    let kind = source.child("type");
    if !kind.is_empty() {
        let kinds = [
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ];
        kind.one_of(&kinds, errors);
    }
}

/// A source with named keys that become files.
fn keyed(source: &Spot<'_>, name: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(name.required(""));
    }
    mode(&source.child("defaultMode"), errors);
    for item in source.child("items").items() {
        if item.child("key").is_empty() {
            errors.push(item.child("key").required(""));
        }
        path(&item.child("path"), &item.child("path").path, errors);
        mode(&item.child("mode"), errors);
    }
}

/// `told` is where the reference implementation says it stands, which leaves indices out.
fn path(path: &Spot<'_>, told: &str, errors: &mut Vec<FieldError>) {
    if path.is_empty() {
        errors.push(path.required(""));
    } else {
        let path = &Spot { value: path.value, path: told.to_owned() };
        descends(path, errors);
        if path.text().starts_with("..") && !path.text().split('/').any(|part| part == "..") {
            errors.push(path.invalid("must not start with '..'"));
        }
    }
}

fn mode(mode: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if mode.number().is_some_and(|bits| !(0..=MODE_MAX).contains(&bits)) {
        errors.push(mode.invalid("must be a number between 0 and 0777 (octal), both inclusive"));
    }
}

fn projected(source: &Spot<'_>, errors: &mut Vec<FieldError>) {
    mode(&source.child("defaultMode"), errors);
    for part in source.child("sources").items() {
        for kind in ["configMap", "secret"].map(|kind| part.child(kind)) {
            if !kind.is_absent() {
                keyed(&kind, &kind.child("name"), errors);
            }
        }
        let token = part.child("serviceAccountToken");
        if !token.is_absent() {
            let seconds = token.child("expirationSeconds");
            if seconds.number().is_some_and(|seconds| seconds < 600) {
                errors.push(seconds.invalid("may not specify a duration less than 10 minutes"));
            }
            path(&token.child("path"), &source.child("path").path, errors);
        }
    }
}
