//! The server as a process, over HTTP, with each database: from a code to a verified backup, and kill -9 in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod again;
mod enrolment;
mod kept;
mod keys;
mod refusals;
mod sessions;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
mod verdicts;

use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None, None).await;
    kept::from_before(None, [None, None]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [one, two, three, four, five]) = Postgres::with(["one", "two", "three", "four", "five"]).await;
    suite(Some(&one), Some(&two)).await;
    kept::from_before(Some(&three), [Some(&four), Some(&five)]).await;
    drop(pg);
}

async fn suite(database: Option<&str>, other: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("board");
    let server = Server::start(&data, database);
    assert_eq!(server.get("/readyz").await.0, 200, "{:?}", server.get("/readyz").await);
    let mara = server.newcomer("Networks", "learner", "Mara").await;
    let joe = server.newcomer("Networks", "learner", "Joe").await;
    let teacher = server.newcomer("Networks", "instructor", "Ms. Ada").await;
    let stranger = server.newcomer("Other class", "learner", "Eve").await;
    let boss = server.newcomer("Other class", "instructor", "Mr. Other").await;
    enrolment::enrolment(&server).await;
    verdicts::verdicts(&server, &mara, &joe).await;
    verdicts::resumed(&server, &mara, &joe).await;
    refusals::refusals(&server, &mara, &joe).await;
    sessions::sessions(&server, &mara, &teacher, &stranger, &boss).await;
    sessions::what_does_not_count(&server, &mara, &joe, &teacher).await;
    again::executed_again(&server, &mara, &joe, &teacher, &boss).await;
    again::jobs::on_demand(&server, [&mara, &joe, &teacher, &boss]).await;
    keys::keys(&server, &joe, &teacher, &boss).await;
    let server = kept::killed(server, &mara).await;
    let count = server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap();
    kept::backed_up(&server, other, home.path(), count);
}
