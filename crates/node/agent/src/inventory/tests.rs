use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn machine() -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    let (proc, sys) = (dir.path().join("proc"), dir.path().join("sys"));
    put(&proc, "meminfo", "MemTotal:       33554432 kB\nMemFree: 1 kB\n");
    put(&proc, "sys/kernel/osrelease", "6.1.0\n");
    put(&proc, "1/root/etc/os-release", "PRETTY_NAME=\"Debian 12\"\nIMAGE_ID=rack\nIMAGE_VERSION=7\n");
    put(&proc, "sys/kernel/random/boot_id", "b-1\n");
    let thread = |n: u32, socket: u32, core: u32| {
        format!("processor\t: {n}\nmodel name\t: Fast 9000\nphysical id\t: {socket}\ncore id\t\t: {core}\n\n")
    };
    put(&proc, "cpuinfo", &[thread(0, 0, 0), thread(1, 0, 0), thread(2, 1, 0), thread(3, 1, 0)].concat());
    put(&sys, "block/sda/size", "1000\n");
    put(&sys, "block/sda/queue/rotational", "1\n");
    put(&sys, "block/sda/device/model", "DISK 1  \n");
    put(&sys, "block/nvme0n1/size", "2000");
    put(&sys, "block/nvme0n1/device/serial", "S1\n");
    put(&sys, "block/loop0/size", "8");
    put(&sys, "block/sdb/size", "0");
    put(&sys, "class/net/eth0/address", "02:00:00:00:00:01\n");
    put(&sys, "class/net/eth0/speed", "10000\n");
    put(&sys, "class/net/eth0/device/vendor", "x");
    put(&sys, "class/net/cni0/address", "02:00:00:00:00:02\n");
    put(&sys, "class/dmi/id/product_serial", "None\n");
    put(&sys, "class/dmi/id/board_serial", "B77\n");
    let roots = Roots { proc, sys };
    (dir, roots)
}

#[test]
fn a_machine_is_described_by_its_files() {
    let (_dir, roots) = machine();
    let now: Timestamp = "2026-11-01T14:05:00Z".parse().unwrap();
    let found = observe(&roots, now);
    assert_eq!(
        (found.observed_at, found.boot_id.as_str(), found.kernel.as_str(), found.image.as_str()),
        (Some(now), "b-1", "6.1.0", "rack 7")
    );
    assert_eq!(image("PRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    assert_eq!(image(""), "");
    assert_eq!((found.memory_gib, found.serial.as_str()), (32, "B77"));
    assert_eq!((found.cpu.sockets, found.cpu.cores, found.cpu.threads), (2, 2, 4));
    let disks: Vec<_> = found
        .disks
        .iter()
        .map(|d| (d.name.as_str(), d.size_bytes, d.rotational, d.serial.as_str()))
        .collect();
    assert_eq!(disks, [("nvme0n1", 1_024_000, false, "S1"), ("sda", 512_000, true, "")]);
    let nics: Vec<_> = found.nics.iter().map(|n| (n.name.as_str(), n.mac.as_str(), n.speed_mbps)).collect();
    assert_eq!(nics, [("eth0", "02:00:00:00:00:01", Some(10_000))]);
}

#[test]
fn an_empty_machine_is_described_as_empty_not_invented() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().join("proc"), sys: dir.path().join("sys") };
    let now: Timestamp = "2026-11-01T14:05:00Z".parse().unwrap();
    assert_eq!(
        observe(&roots, now),
        InventoryStatus { observed_at: Some(now), ..InventoryStatus::default() }
    );
}
