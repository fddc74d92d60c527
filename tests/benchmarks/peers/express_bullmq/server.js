// What a Node team would write for the same route: Express takes the body, BullMQ the job.
const express = require("express");
const { Queue } = require("bullmq");

const queue = new Queue("videos", { connection: { host: "127.0.0.1", port: Number(process.env.REDIS_PORT) } });
const app = express();
app.use(express.json());

app.get("/health/live", (_request, response) => response.json({ status: "ok" }));

app.post("/api/process-video", async (request, response) => {
  const { requestId, videoUrl } = request.body;
  if (!requestId || !videoUrl) {
    return response.status(400).json({ success: false });
  }
  await queue.add("process-video", request.body, { jobId: requestId });
  response.status(202).json({ success: true, requestId, status: "queued" });
});

app.listen(Number(process.env.PORT), "127.0.0.1");
