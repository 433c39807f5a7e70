/** The built package with its inner layers, for scripts that plain node runs. */

/** The public list, and what the layers beneath export. Ends the process where nothing is built. */
export async function loadBuiltPackage() {
  const parts = ['index.js', 'keys/index.js', 'exchange/index.js', 'protocol/index.js', 'testing/index.js'];
  try {
    const modules = await Promise.all(parts.map((part) => import(`#lib/${part}`)));
    return Object.assign({}, ...modules);
  } catch (error) {
    console.error(`no built package: run \`npx nest build esm\` first (${error.message})`);
    return process.exit(1);
  }
}
