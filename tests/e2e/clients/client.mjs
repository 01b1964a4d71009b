// What applications do with @kubernetes/client-node: an informer that follows changes, server-side apply, exec.
// usage: node client.mjs KUBECONFIG NAMESPACE POD
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const [kubeconfig, namespace, pod] = process.argv.slice(2);
const kc = new k8s.KubeConfig();
kc.loadFromFile(kubeconfig);
const core = kc.makeApiClient(k8s.CoreV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(kc);
const fail = (why) => { console.error(why); process.exit(1); };
setTimeout(() => fail('not done after 30 s'), 30000);

// ---- informer
const seen = [];
let changed = () => {};
const informer = k8s.makeInformer(kc, `/api/v1/namespaces/${namespace}/configmaps`,
  () => core.listNamespacedConfigMap({ namespace }));
for (const verb of ['add', 'update', 'delete'])
  informer.on(verb, (o) => {
    if (o.metadata.name === 'kube-root-ca.crt') return;
    seen.push(`${verb} ${o.metadata.name} ${o.data?.k ?? ''}`.trim());
    changed();
  });
let stopping = false; // The library reports its own abort of the watch as an error.
informer.on('error', (e) => { if (!stopping) fail(`informer: ${e}`); });
const until = async (n) => { while (seen.length < n) await new Promise((r) => { changed = r; }); };
await informer.start();

// ---- server-side apply
const apply = (k, manager, force) => objects.patch(
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data: { k } },
  undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
const made = await apply('1', 'one');
if (made.metadata.managedFields?.[0]?.operation !== 'Apply') fail('apply: no managed fields');
await until(1);
await apply('2', 'two').then(() => fail('apply over another manager: no conflict'),
  (e) => { if (e.code !== 409) fail(`apply over another manager: ${e}`); });
await apply('2', 'two', true);
await until(2);
await core.deleteNamespacedConfigMap({ name: 'applied', namespace });
await until(3);
stopping = true;
await informer.stop();
console.log(seen.join(', '));

// ---- exec
let out = '';
const stdout = new PassThrough();
stdout.on('data', (d) => { out += d; });
const status = await new Promise((done, bad) => {
  new k8s.Exec(kc).exec(namespace, pod, 'c', ['sh', '-c', 'echo from the pod; exit 3'], stdout, process.stderr, null, false, done)
    .catch(bad);
});
console.log(out.trim(), status.status, status.details?.causes?.[0]?.message);
process.exit(0);
