//! The agent against a real containerd, each test in its own network namespace, data directory and cgroup.
//!
//! These need root and the distribution's packages. Where they are missing the tests say so and pass: the plan, pass and
//! format tests of the crate need neither.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests, and the word why a test was not run"
)]

mod machine;

use std::time::Duration;

use muster_agent::containerd::{Event, ServiceError, Started};
use muster_agent::runtime::{ContainerState, Runtime, SandboxState, Scope};

use machine::{Machine, pid_of, signal, wait_for};
use nix::sys::signal::Signal;

const NO_GRACE: Duration = Duration::ZERO;

#[test]
fn a_sandbox_and_a_container_start_run_and_leave_nothing() {
    Machine::with("start", async |machine: &Machine| {
        let runtime = &machine.runtime;
        let sandbox = machine.sandbox("a").await;
        let ips = runtime.sandbox_ips(&sandbox).await.unwrap();
        assert!(ips[0].starts_with("10.244.77."), "{ips:?}");
        let id = machine.container(&sandbox, "a", muster_agent::image::HELLO, &[], 0).await;
        runtime.start_container(&id).await.unwrap();
        let status = runtime.container(&id).await.unwrap();
        assert_eq!((status.state, status.name.as_str()), (ContainerState::Running, "c"));
        assert_eq!(runtime.list(Scope::Pod("none".to_owned())).await.unwrap().containers, []);
        runtime.stop_container(&id, Duration::from_secs(5)).await.unwrap();
        let status = runtime.container(&id).await.unwrap();
        assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 0));
        runtime.stop_sandbox(&sandbox).await.unwrap();
        runtime.remove_sandbox(&sandbox).await.unwrap();
        machine.cgroups.remove_pod("a").unwrap();
        assert_eq!(runtime.list(Scope::Node).await.unwrap().sandboxes, []);
    });
}

#[test]
fn a_containerd_killed_is_started_again_and_its_containers_never_noticed() {
    Machine::with("killed", async |machine: &Machine| {
        let (_, id) = machine.running("a", muster_agent::image::HELLO).await;
        let container = pid_of(machine, &id).await;
        let first = machine.supervisor.pid().await.unwrap();
        signal(first, Signal::SIGKILL);
        wait_for("another containerd that answers", Duration::from_secs(20), async || {
            let other = machine.supervisor.pid().await.is_some_and(|pid| pid != first);
            // The supervisor tells of the restart after it has seen the answer itself.
            other && machine.runtime.version().await.is_ok() && machine.events().len() == 2
        })
        .await;
        assert_eq!(pid_of(machine, &id).await, container);
        assert_eq!(machine.runtime.container(&id).await.unwrap().state, ContainerState::Running);
        let events = machine.events();
        assert!(
            matches!(events[..], [Event::Exited { pid, .. }, Event::Restarted { restarts_in_window: 1, .. }] if pid == first),
            "{events:?}"
        );
    });
}

#[test]
fn a_containerd_that_keeps_dying_is_left_down_after_three_restarts() {
    Machine::with("dying", async |machine: &Machine| {
        for _ in 0..4 {
            wait_for("a containerd to kill", Duration::from_secs(30), async || {
                machine.supervisor.pid().await.is_some()
            })
            .await;
            let killed = machine.supervisor.pid().await.unwrap();
            signal(killed, Signal::SIGKILL);
            wait_for("its end", Duration::from_secs(20), async || {
                machine.supervisor.pid().await != Some(killed)
            })
            .await;
        }
        wait_for("the supervisor to give up", Duration::from_secs(10), async || {
            matches!(machine.events().last(), Some(Event::GaveUp { restarts_in_window: 3, .. }))
        })
        .await;
        assert_eq!(machine.supervisor.pid().await, None);
        machine.supervisor.restart().await.unwrap();
        machine.runtime.version().await.unwrap();
    });
}

#[test]
fn a_stopped_containerd_is_left_alone_until_a_restart_is_ordered_and_containers_live_on() {
    Machine::with("stopped", async |machine: &Machine| {
        let (sandbox, id) = machine.running("a", muster_agent::image::HELLO).await;
        let container = pid_of(machine, &id).await;
        let first = machine.supervisor.pid().await.unwrap();
        signal(first, Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(machine.supervisor.pid().await, Some(first));
        assert_eq!(machine.events(), []);
        let took = machine.supervisor.restart().await.unwrap();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_ne!(machine.supervisor.pid().await, Some(first));
        assert_eq!(pid_of(machine, &id).await, container);
        let sandboxes = machine.runtime.list(Scope::Node).await.unwrap().sandboxes;
        assert_eq!((sandboxes[0].id.as_str(), sandboxes[0].state), (sandbox.as_str(), SandboxState::Ready));
        machine.runtime.stop_container(&id, NO_GRACE).await.unwrap();
    });
}

#[test]
fn an_ordered_restart_does_not_wait_for_a_start_that_hangs() {
    Machine::with("hangs", async |machine: &Machine| {
        signal(machine.supervisor.pid().await.unwrap(), Signal::SIGSTOP);
        let began = std::time::Instant::now();
        let hanging = machine.supervisor.ensure_started();
        let (started, restarted) = futures::join!(hanging, machine.supervisor.restart());
        restarted.unwrap();
        // The one that hung is gone, or its successor answered in its place.
        assert!(
            matches!(started, Err(ServiceError::EndedAtStart { .. }) | Ok(Started::Adopted)),
            "{started:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
}

#[test]
fn an_agent_that_starts_again_adopts_the_containerd_of_its_former_life() {
    Machine::with("adopted", async |machine: &Machine| {
        let first = machine.supervisor.pid().await;
        let second_life = machine.another_supervisor();
        assert_eq!(second_life.ensure_started().await.unwrap(), Started::Adopted);
        assert_eq!(second_life.pid().await, first);
        // That life ended between the start and the note of it.
        std::fs::remove_file(machine.supervisor.layout().dir().join("pid.json")).unwrap();
        let third_life = machine.another_supervisor();
        assert_eq!(third_life.ensure_started().await.unwrap(), Started::Adopted);
        assert_eq!(third_life.pid().await, first);
    });
}

#[test]
fn a_container_over_its_memory_limit_ends_with_the_reason_of_it() {
    Machine::with("memory", async |machine: &Machine| {
        machine.import_busybox().await;
        let sandbox = machine.sandbox("a").await;
        let eat = ["tail", "-c", "200m", "/dev/zero"];
        let id = machine.container(&sandbox, "a", machine::BUSYBOX, &eat, 32 << 20).await;
        machine.runtime.start_container(&id).await.unwrap();
        wait_for("the end of the container", Duration::from_secs(20), async || {
            machine.runtime.container(&id).await.unwrap().state == ContainerState::Exited
        })
        .await;
        let status = machine.runtime.container(&id).await.unwrap();
        assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    });
}
