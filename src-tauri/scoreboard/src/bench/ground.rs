//! Where a measurement takes place: a folder that goes away afterwards, and a database with nothing in it.

use super::server::Server;
use super::workshop::{Laptop, Made, Wish};
use crate::clock;
use crate::ring::Ring;
use crate::store::{Connection, Target, migrate, verdicts};
use forge_core::error::{Code, Error, Result};
use forge_core::template::scenario::Scenario;
use forge_core::template::{Catalogue, Sources};
use std::path::{Path, PathBuf};

/// A class. Each learner's laptop has a key of its own.
const LAPTOPS: usize = 30;

pub struct Ground {
    home: tempfile::TempDir,
    data: PathBuf,
    database: Option<String>,
}

impl Ground {
    /// `InvalidInput` for a database that is in use.
    pub fn new(database: Option<&str>) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("forge-bench-").tempdir()?;
        let data = home.path().join("board");
        crate::evidence::private_folder(&data)?;
        // The key first: a server makes none where somebody is enrolled.
        Ring::open(&data)?;
        let ground = Self { home, data, database: database.map(str::to_owned) };
        if verdicts::next_seq(ground.connect()?.as_mut())? > 1 {
            return Err(Error::new(Code::InvalidInput, "The database holds verdicts already; a measurement fills it.")
                .hint("Give an empty database that can be thrown away afterwards."));
        }
        Ok(ground)
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn kind(&self) -> Result<&'static str> {
        Ok(self.target()?.kind())
    }

    fn target(&self) -> Result<Target> {
        Target::of(&self.data, self.database.as_deref())
    }

    pub fn connect(&self) -> Result<Box<dyn Connection>> {
        let mut conn = self.target()?.connect()?;
        migrate(conn.as_mut())?;
        Ok(conn)
    }

    pub fn serve(&self) -> Result<Server> {
        Server::start(self.home(), &self.data, self.database.as_deref())
    }

    /// Laptops that are enrolled.
    pub fn class(&self) -> Result<Vec<Laptop>> {
        let mut conn = self.connect()?;
        conn.begin(true)?;
        let mut laptops = Vec::new();
        for i in 0..LAPTOPS {
            let laptop = Laptop::new(&self.home().join(format!("laptop-{i}")))?;
            laptop.enrol(conn.as_mut(), "Bench", &format!("Learner {i}"), clock::now())?;
            laptops.push(laptop);
        }
        conn.commit()?;
        Ok(laptops)
    }
}

/// So many verdicts of the built-in labs, made on all cores.
pub fn verdicts_of(laptops: &[Laptop], count: u32) -> Result<Vec<Made>> {
    let labs = Catalogue::load(&Sources { instead: None, user: None });
    let scenarios: Vec<Scenario> = labs.list().map(|lab| lab.instantiate("bench")).collect::<Result<_>>()?;
    if scenarios.is_empty() || laptops.is_empty() {
        return Err(Error::new(Code::UnknownLab, "There is no lab or no laptop to make verdicts with."));
    }
    let numbers: Vec<u32> = (0..count).collect();
    let share = numbers.len().div_ceil(std::thread::available_parallelism()?.get()).max(1);
    let seal = |i: &u32| {
        let at = *i as usize;
        let (laptop, scenario) = (laptops.get(at % laptops.len()), scenarios.get(at / laptops.len() % scenarios.len()));
        let (Some(laptop), Some(scenario)) = (laptop, scenario) else {
            return Err(Error::internal("there is no such laptop or lab"));
        };
        laptop.seal(scenario, "", &Wish::new(&format!("bench-{i}"), clock::now()))
    };
    std::thread::scope(|scope| {
        let shares: Vec<_> = numbers
            .chunks(share)
            .map(|numbers| scope.spawn(move || numbers.iter().map(seal).collect::<Result<Vec<Made>>>()))
            .collect();
        let mut made = Vec::new();
        for share in shares {
            made.extend(share.join().map_err(|_| Error::internal("a thread that makes verdicts has ended"))??);
        }
        Ok(made)
    })
}
