// A kernel's threads, as the emulator recorded them.
export function threadsView() {
  return null;
}
