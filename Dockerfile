FROM python:3.12-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --no-create-home --uid 10001 vizkit \
 && install -d -o vizkit -g vizkit /data
WORKDIR /app

# The dependencies change rarely and are large: a layer of their own. The headless OpenCV wheel goes last (no libGL here).
COPY requirements.lock .
RUN awk '/^opencv-python-headless==/ { block = 1 } block { print } block && !/\\$/ { exit }' requirements.lock > /tmp/headless.txt \
 && pip install --no-cache-dir --require-hashes -r requirements.lock \
 && pip install --no-cache-dir --force-reinstall --no-deps --require-hashes -r /tmp/headless.txt \
 && rm /tmp/headless.txt \
 && python -c "import cv2; cv2.resize"

COPY pyproject.toml README.md LICENSE ./
COPY .streamlit .streamlit
COPY checkpoints checkpoints
COPY pages pages
COPY vizkit vizkit
COPY app.py .
RUN pip install --no-cache-dir --no-deps --editable .

USER vizkit
# All that is written at run time goes to /tmp (uploads, caches) and /data (weights that were fetched).
ENV OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib VIZKIT_HOME=/data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

# Inside a container the app has to listen beyond the loopback; publish the port to this machine only:
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 127.0.0.1:8501:8501 vizkit
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true", \
     "--browser.serverAddress", "localhost"]
