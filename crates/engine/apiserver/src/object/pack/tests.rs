use super::super::stamp;
use super::{BODY_BYTES_MAX, Body, DICTIONARIES};

fn text(length: usize) -> Vec<u8> {
    let line = b"\"kind\":\"of text\",\"with\":[\"some\",\"that\",\"comes\",\"again\"],";
    line.iter().copied().cycle().take(length).collect()
}

fn machine() -> std::sync::Arc<str> {
    stamp("muster.dev/v1alpha1", "Machine")
}

#[test]
fn a_body_of_a_packed_kind_takes_less_and_is_read_back_the_same() {
    for length in [0, 1, 191, 192, 600, 2000, 100_000] {
        let plain = text(length);
        let body = Body::new(&machine(), &plain);
        assert_eq!(body.plain(), plain, "{length}");
        assert_eq!((body.dictionary() == 1, body.length() as usize), (192 <= length, length));
        assert!(body.stored().len() <= length, "{length}");
        let again = Body::restore(body.stored(), body.length(), body.dictionary()).unwrap();
        assert!(again == body && again.plain() == plain);
    }
}

#[test]
fn other_kinds_and_what_does_not_get_smaller_are_kept_as_they_are() {
    let plain = text(2000);
    assert_eq!(Body::new(&stamp("v1", "Pod"), &plain).dictionary(), 0);
    assert_eq!(Body::new(&stamp("muster.dev/v1alpha1", "MachineRole"), &plain).dictionary(), 0);
    let mut number = 1_u64;
    let mut noise = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 56) as u8
    };
    let noise: Vec<u8> = (0..500).map(|_| noise()).collect();
    let body = Body::new(&machine(), &noise);
    assert_eq!((body.dictionary(), body.plain().as_ref()), (0, noise.as_slice()));
}

#[test]
fn equality_is_of_what_is_said_and_not_of_how_it_is_kept() {
    let plain = text(700);
    let (packed, kept) = (Body::new(&machine(), &plain), Body::new(&stamp("v1", "Pod"), &plain));
    assert!(packed == kept);
    assert!(packed != Body::new(&machine(), &text(701)));
}

#[test]
fn what_cannot_be_a_body_is_refused() {
    assert!(Body::restore(b"abc", 4, 0).is_err());
    assert!(Body::restore(b"abc", 3, 2).unwrap_err().contains("dictionary that this program does not have"));
    assert!(Body::restore(b"abc", u32::try_from(BODY_BYTES_MAX + 1).unwrap(), 1).is_err());
}

/// A changed dictionary makes everything unreadable that was packed with it: add one instead.
#[test]
fn no_dictionary_ever_changes() {
    let sums: Vec<String> = DICTIONARIES
        .iter()
        .map(|bytes| {
            let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
            digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
        })
        .collect();
    assert_eq!(sums, ["7f3c4377668e349d"]);
}
