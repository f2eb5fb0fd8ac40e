use super::harness::{config, open, put};
use crate::disk::sim::SimDisk;

#[test]
fn a_checkpoint_waits_until_the_log_is_half_of_the_last_one() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &config()).unwrap();
    let body = "x".repeat(250);
    for n in 0..60 {
        run.one(vec![put(&format!("n{n}"), &body)]).unwrap();
    }
    run.begin_checkpoint();
    run.finish_checkpoint();
    for reopened in [false, true] {
        if reopened {
            run = open(&disk, &config()).unwrap();
        }
        let mut writes = 0;
        while run.job.is_none() {
            run.one(vec![put("n1", &body)]).unwrap();
            run.begin_checkpoint();
            writes += 1;
        }
        assert!((25..36).contains(&writes), "{writes} writes after a checkpoint of 60 values");
        run.finish_checkpoint();
    }
}
