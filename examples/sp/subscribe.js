#!/usr/bin/env node
// Prints what a topology publishes: subscribe.js DIR [PREFIX]. Node has no SOCK_SEQPACKET, so it takes the door `sub.ipc`, which speaks as nng and nanomsg do on ipc://:
// eight bytes from each side, then 01, eight bytes of length, and the message. This door gets everything; who wants less chooses here.
const net = require('net');

const SUB = 0x21;
const [directory, prefix = ''] = process.argv.slice(2);
const s = net.connect(`${directory}/sub.ipc`);
let bytes = Buffer.alloc(0), greeted = false;

s.on('connect', () => s.write(Buffer.from([0, 0x53, 0x50, 0, 0, SUB, 0, 0])));
s.on('error', (e) => { console.error(e.message); process.exit(1); });
s.on('data', (more) => {
  bytes = Buffer.concat([bytes, more]);
  if (!greeted) {
    if (bytes.length < 8) return;
    bytes = bytes.subarray(8);
    greeted = true;
  }
  while (bytes.length >= 9) {
    const n = Number(bytes.readBigUInt64BE(1));
    if (bytes.length < 9 + n) return;
    const message = bytes.subarray(9, 9 + n).toString();
    if (message.startsWith(prefix)) console.log(message);
    bytes = bytes.subarray(9 + n);
  }
});
