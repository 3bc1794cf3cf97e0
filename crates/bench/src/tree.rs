//! A tree like a source checkout, the same on every machine.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// What the generated tree holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) files: u64,
    pub(crate) dirs: u64,
    /// The mean size of a file in bytes.
    pub(crate) mean_size: u64,
}

/// About 1 GB, the size of a large checkout.
pub(crate) const CHECKOUT: Shape = Shape { files: 200_000, dirs: 16_000, mean_size: 5_000 };
/// The same in small.
pub(crate) const SMALL: Shape = Shape { files: 6_000, dirs: 500, mean_size: 4_000 };

/// The tree of that shape below `target/bench`, made if it is not there yet.
pub(crate) fn checkout(shape: Shape) -> PathBuf {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let root = base.join(format!("tree-{}-{}-{}", shape.files, shape.dirs, shape.mean_size));
    let done = root.with_extension("done");
    if !done.exists() {
        println!("making a tree of {} files", shape.files);
        drop(fs::remove_dir_all(&root));
        make(&root, shape);
        fs::write(done, "").unwrap();
    }
    root.canonicalize().unwrap()
}

fn make(root: &Path, shape: Shape) {
    let mut random = Random(0x7469_6465_6761_7465);
    let mut dirs = vec![(root.to_owned(), 0)];
    fs::create_dir_all(root).unwrap();
    while (dirs.len() as u64) < shape.dirs {
        // Any directory may get the next child: depths spread about the logarithm of their
        // number, like those of sources.
        let parent = usize::try_from(random.below(dirs.len() as u64)).unwrap();
        let (parent, depth) = dirs[parent].clone();
        if depth < 12 {
            let path = parent.join(format!("dir-{}", dirs.len()));
            fs::create_dir(&path).unwrap();
            dirs.push((path, depth + 1));
        }
    }
    let mut content = vec![0; 1 << 20];
    content.fill_with(|| random.next().to_le_bytes()[0]);
    for file in 0..shape.files {
        let dir = &dirs[usize::try_from(random.below(dirs.len() as u64)).unwrap()].0;
        let size = usize::try_from(size(&mut random, shape.mean_size)).unwrap().min(content.len());
        let start = usize::try_from(random.below((content.len() - size + 1) as u64)).unwrap();
        let mut out = fs::File::create(dir.join(format!("module_{file}.rs"))).unwrap();
        out.write_all(&content[start..start + size]).unwrap();
    }
}

/// Most files are small and few are large: the product of two uniform draws, and one file
/// in a hundred is twenty times as large.
fn size(random: &mut Random, mean: u64) -> u64 {
    let small = random.below(2 * mean) * random.below(1024) / 1024;
    if random.below(100) == 0 { 100 * random.below(mean) } else { small }
}

/// Marsaglia's xorshift64: enough to make files differ.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
