//! Measures a running cluster as `tintype bench` does, and looks what is left of it.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;
    use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
    use kube::{Api, api::ListParams};
    use tintype_api::{VolumeSnapshotClass, VolumeSnapshotContent};
    use tintype_sandbox::{
        bench::{self, Figures, Stage},
        cluster::{Cluster, Options},
        data_dir::DataDir,
    };
    use tokio_util::sync::CancellationToken;

    async fn measure(line: &[&str], kubeconfig: Option<PathBuf>) -> Vec<Figures> {
        let mut args = bench::Args::try_parse_from([&["bench"], line].concat()).unwrap();
        args.kubeconfig = kubeconfig;
        bench::measure(args, CancellationToken::new())
            .await
            .unwrap()
    }

    fn options(folder: &tempfile::TempDir) -> Options {
        let data_dir = DataDir::choose(Some(&folder.path().join("data"))).unwrap();
        let mut options = Options::in_folder(data_dir);
        options.driver_backend = tintype_driver::BackendChoice::Null;
        options
    }

    #[tokio::test]
    async fn a_measured_cluster_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(options(&folder)).await.unwrap();
        let kubeconfig = cluster.options().kubeconfig();
        let line = ["--snapshots=8", "--pvcs=2", "--delete", "--pids=me=1"];
        let all = measure(&line, Some(kubeconfig.clone())).await;
        assert_eq!(
            all.iter().map(|stage| stage.mode).collect::<Vec<_>>(),
            [Stage::Create, Stage::Delete]
        );
        for stage in &all {
            assert!(stage.complete && stage.done == 8, "{stage:?}");
            assert!(
                stage.p50_s <= stage.p99_s && stage.writes_per_item > Some(3.0),
                "{stage:?}"
            );
        }
        let calls = |stage: &Figures, name: &str| stage.calls.as_ref().unwrap().get(name).copied();
        assert_eq!(calls(&all[0], "POST volumesnapshots 201"), Some(1.0));
        assert_eq!(calls(&all[1], "DELETE volumesnapshots 200"), Some(1.0));

        let all = measure(
            &["--snapshots=2", "--pvcs=2", "--namespace=default"],
            Some(kubeconfig),
        )
        .await;
        assert_eq!(all.len(), 1);
        let every = ListParams::default();
        let client = cluster.client();
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        assert_eq!(volumes.list(&every).await.unwrap().items.len(), 0);
        let contents: Api<VolumeSnapshotContent> = Api::all(client.clone());
        assert_eq!(contents.list(&every).await.unwrap().items.len(), 0);
        let classes: Api<VolumeSnapshotClass> = Api::all(client.clone());
        assert_eq!(classes.list(&every).await.unwrap().items.len(), 1);
        let namespaces: Api<Namespace> = Api::all(client);
        for namespace in namespaces.list(&every).await.unwrap() {
            let name = namespace.metadata.name.unwrap();
            let going = namespace.metadata.deletion_timestamp.is_some();
            assert!(going || !name.starts_with("tintype-bench-"), "{name} stays");
        }
        cluster.stop().await;
    }

    #[tokio::test]
    async fn a_sandbox_of_its_own_is_measured_and_taken_away() {
        let all = measure(&["--snapshots=3", "--pvcs=1"], None).await;
        assert!(all[0].complete, "{all:?}");
        assert!(all[0].proc["tintype"].is_some(), "{all:?}");
    }
}
