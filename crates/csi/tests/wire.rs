//! Meets a driver that breaks the specification, panics, stalls and dies, over a real socket.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;
    use tintype_csi::v1::controller_server::{Controller, ControllerServer};
    use tintype_csi::v1::identity_server::{Identity, IdentityServer};
    use tintype_csi::{
        Address, BindError, Certainty, Client, ConnectError, Listener, Observe, ServeError, serve,
        v1,
    };
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;
    use tonic::service::Routes;
    use tonic::{Code, Request, Response, Status};

    const PATIENCE: Duration = Duration::from_secs(90);

    /// Answers as the name of the request says.
    #[derive(Debug, Default)]
    struct Hostile {
        entered: Arc<Notify>,
        release: Arc<Notify>,
    }

    #[tonic::async_trait]
    impl Identity for Hostile {}

    #[tonic::async_trait]
    impl Controller for Hostile {
        async fn create_snapshot(
            &self,
            request: Request<v1::CreateSnapshotRequest>,
        ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
            let name = request.into_inner().name;
            let good = v1::Snapshot {
                snapshot_id: "s".into(),
                ..Default::default()
            };
            let stamp = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
            let snapshot = match name.as_str() {
                "nil" => None,
                "no-id" => Some(v1::Snapshot::default()),
                "negative" => Some(v1::Snapshot {
                    size_bytes: -1,
                    ..good
                }),
                "epoch" => Some(v1::Snapshot {
                    creation_time: stamp(0, 0),
                    ..good
                }),
                "no-time" => Some(v1::Snapshot {
                    creation_time: stamp(i64::MAX, 0),
                    ..good
                }),
                "full" => return Err(Status::resource_exhausted("no space")),
                "panic" => panic!("at the driver"),
                "stall" => {
                    self.entered.notify_one();
                    self.release.notified().await;
                    Some(good)
                }
                _ => Some(good),
            };
            Ok(Response::new(v1::CreateSnapshotResponse { snapshot }))
        }

        async fn create_volume(
            &self,
            _request: Request<v1::CreateVolumeRequest>,
        ) -> Result<Response<v1::CreateVolumeResponse>, Status> {
            Err(Status::resource_exhausted("no space"))
        }
    }

    struct Running {
        entered: Arc<Notify>,
        release: Arc<Notify>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<Result<(), ServeError>>,
    }

    async fn start(address: &Address, drain: Duration) -> Running {
        let driver = Hostile::default();
        let (entered, release) = (Arc::clone(&driver.entered), Arc::clone(&driver.release));
        let routes = Routes::new(ControllerServer::new(driver))
            .add_service(IdentityServer::new(Hostile::default()));
        let listener = Listener::bind(address).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, routes, shutdown, drain));
        Running {
            entered,
            release,
            stop,
            task,
        }
    }

    fn address(folder: &TempDir) -> Address {
        Address::at(folder.path().join("private/csi.sock")).unwrap()
    }

    fn snapshot(name: &str) -> v1::CreateSnapshotRequest {
        v1::CreateSnapshotRequest {
            name: name.into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn replies_that_break_the_specification_are_errors_and_uncertain() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder));
        let cases = [
            ("nil", "`snapshot` is missing"),
            ("no-id", "`snapshot.snapshot_id` is empty"),
        ];
        for (name, words) in cases {
            let error = client.create_snapshot(snapshot(name)).await.unwrap_err();
            assert!(error.message.contains(words), "{name}: {error}");
            assert_eq!(
                (error.rpc, error.certainty),
                ("CreateSnapshot", Certainty::Uncertain)
            );
        }
    }

    #[tokio::test]
    async fn a_size_below_nothing_is_unknown() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder));
        let cut = client.create_snapshot(snapshot("negative")).await.unwrap();
        assert_eq!((cut.id.as_str(), cut.size_bytes), ("s", 0));
    }

    #[tokio::test]
    async fn no_creation_time_differs_from_the_epoch() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder));
        let unset = client.create_snapshot(snapshot("plain")).await.unwrap();
        assert_eq!(unset.creation_time, None);
        let odd = client.create_snapshot(snapshot("no-time")).await.unwrap();
        assert_eq!(odd.creation_time, None);
        let epoch = client.create_snapshot(snapshot("epoch")).await.unwrap();
        assert_eq!(epoch.creation_time, Some(SystemTime::UNIX_EPOCH));
    }

    #[tokio::test]
    async fn no_space_is_final_for_a_volume_and_not_for_a_snapshot() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder));
        let volume = client
            .create_volume(v1::CreateVolumeRequest::default())
            .await
            .unwrap_err();
        assert_eq!(
            (volume.code, volume.is_uncertain()),
            (Code::ResourceExhausted, false)
        );
        let cut = client.create_snapshot(snapshot("full")).await.unwrap_err();
        assert_eq!(
            (cut.code, cut.is_uncertain()),
            (Code::ResourceExhausted, true)
        );
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_harms_no_other_call() {
        let folder = TempDir::new().unwrap();
        let running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder));
        let other = tokio::spawn({
            let client = client.clone();
            async move { client.create_snapshot(snapshot("stall")).await }
        });
        running.entered.notified().await;
        let error = client.create_snapshot(snapshot("panic")).await.unwrap_err();
        assert_eq!(error.code, Code::Internal);
        assert!(error.message.contains("at the driver"), "{error}");
        running.release.notify_one();
        other.await.unwrap().unwrap();
        client.create_snapshot(snapshot("plain")).await.unwrap();
    }

    #[tokio::test]
    async fn the_deadline_ends_a_call_that_stalls() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let client = Client::lazy(&address(&folder)).with_deadline(Duration::from_millis(50));
        let error = client.create_snapshot(snapshot("stall")).await.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert!(error.is_uncertain());
    }

    #[tokio::test]
    async fn a_driver_that_is_not_there_is_uncertain_and_said_so() {
        let folder = TempDir::new().unwrap();
        let client = Client::lazy(&address(&folder));
        let error = client.probe().await.unwrap_err();
        assert_eq!(
            (error.code, error.is_uncertain()),
            (Code::Unavailable, true)
        );
        assert!(error.message.contains("No such file"), "{error}");
        let patience = Duration::from_millis(10);
        let error = Client::connect(&address(&folder), patience)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_loss_is_told_and_the_next_call_connects_again() {
        let folder = TempDir::new().unwrap();
        let address = address(&folder);
        let running = start(&address, Duration::ZERO).await;
        let client = Client::connect(&address, PATIENCE).await.unwrap();
        client.create_snapshot(snapshot("plain")).await.unwrap();
        let lost = client.lost();
        tokio::pin!(lost);
        assert!(
            futures_poll_once(lost.as_mut()).await,
            "nothing is lost yet"
        );
        running.stop.send(()).unwrap();
        running.task.await.unwrap().unwrap();
        tokio::time::timeout(PATIENCE, lost).await.unwrap();
        client.create_snapshot(snapshot("plain")).await.unwrap_err();
        let _again = start(&address, PATIENCE).await;
        client.create_snapshot(snapshot("plain")).await.unwrap();
    }

    /// True while the future is not done.
    async fn futures_poll_once(mut future: std::pin::Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn the_end_waits_for_calls_under_way() {
        let folder = TempDir::new().unwrap();
        let address = address(&folder);
        let running = start(&address, PATIENCE).await;
        let client = Client::lazy(&address);
        let call = tokio::spawn(async move { client.create_snapshot(snapshot("stall")).await });
        running.entered.notified().await;
        running.stop.send(()).unwrap();
        running.release.notify_one();
        call.await.unwrap().unwrap();
        running.task.await.unwrap().unwrap();
        assert!(!address.path().exists(), "the socket is removed");
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_ever() {
        let folder = TempDir::new().unwrap();
        let address = address(&folder);
        let running = start(&address, Duration::from_millis(10)).await;
        let client = Client::lazy(&address);
        let call = tokio::spawn(async move { client.create_snapshot(snapshot("stall")).await });
        running.entered.notified().await;
        running.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, running.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        call.abort();
    }

    #[tokio::test]
    async fn a_socket_is_private_and_taken_only_from_the_dead() {
        let folder = TempDir::new().unwrap();
        let address = address(&folder);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let running = start(&address, PATIENCE).await;
        assert_eq!(mode(address.path()), 0o600);
        assert_eq!(mode(address.path().parent().unwrap()), 0o700);
        let second = Listener::bind(&address).await;
        assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        // Dead without a word: bind, then forget to clean up.
        drop(std::os::unix::net::UnixListener::bind(address.path()).unwrap());
        assert!(address.path().exists());
        Listener::bind(&address).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        let outcome = Listener::bind(&Address::at(&path).unwrap()).await;
        assert!(
            matches!(outcome, Err(BindError::NotASocket(_))),
            "{outcome:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    }

    #[derive(Default)]
    struct Tally(Mutex<BTreeMap<(&'static str, &'static str), u32>>);

    impl Observe for Tally {
        fn called(&self, method: &'static str, code: Code, _took: Duration) {
            let code = if code == Code::Ok { "ok" } else { "failed" };
            *self.0.lock().unwrap().entry((method, code)).or_default() += 1;
        }
    }

    #[tokio::test]
    async fn every_call_is_observed_with_its_method_and_code() {
        let folder = TempDir::new().unwrap();
        let _running = start(&address(&folder), PATIENCE).await;
        let tally = Arc::new(Tally::default());
        let client = Client::lazy(&address(&folder)).with_observer(Arc::clone(&tally) as _);
        client.create_snapshot(snapshot("plain")).await.unwrap();
        let error = client.get_plugin_info().await.unwrap_err();
        assert_eq!(error.code, Code::Unimplemented);
        let expected = BTreeMap::from([
            (("/csi.v1.Controller/CreateSnapshot", "ok"), 1),
            (("/csi.v1.Identity/GetPluginInfo", "failed"), 1),
        ]);
        assert_eq!(*tally.0.lock().unwrap(), expected);
    }
}
