"""The same route in Flask, with nothing but one LPUSH."""

import os

import redis
from flask import Flask, request

app = Flask(__name__)
client = redis.Redis(port=int(os.environ["REDIS_PORT"]))


@app.get("/health/live")
def live() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/process-video")
def process_video() -> tuple[dict[str, object], int]:
    asked = request.get_json()
    client.lpush("videos", request.get_data())
    return {"success": True, "requestId": asked["requestId"], "status": "queued"}, 202
